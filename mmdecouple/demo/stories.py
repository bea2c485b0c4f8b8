"""What the demo of each method trains, and what its runs are to each other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Story:
    """What the demo of one method trains and says.

    Args:
        runs: Name in the report -> config in `configs/demo/`, the base method first.
        notes: What the runs are to each other.
        report: Folder of the report, below that of the runs.
        teacher: Config of the run that teaches the others and is trained before them.
        start: Config of the run whose backbone the others go on from; trained before them, and it stands before them in
            the report, as its untrained network is theirs.
    """

    runs: dict[str, str]
    notes: str
    report: str
    teacher: str | None = None
    start: str | None = None


DENSECL = Story(
    {
        'DenseCL': 'densecl_resnet-demo_scenes.py',
        'DenseCL-D': 'densecl-d_resnet-demo_scenes.py',
        'Control': 'densecl-same_resnet-demo_scenes.py',
    },
    'DenseCL-D is DenseCL plus the de-coupling branch. Control is the same branch with nothing mixed in (Xᴰ = X): '
    'what DenseCL-D gains over Control comes from the foreign background, what Control gains over DenseCL comes from '
    'the extra loss at the same positions.',
    report='',
)
IBOT = Story(
    {
        'iBOT': 'ibot_vit-demo_scenes.py',
        'iBOT-D': 'ibot-d_vit-demo_scenes.py',
        'Control': 'ibot-same_vit-demo_scenes.py',
    },
    'iBOT-D is iBOT plus the de-coupling branch. Control is the same branch with nothing mixed in (Xᴰ = X): what '
    'iBOT-D gains over Control comes from the foreign background, what Control gains over iBOT comes from a loss on '
    'visible tokens, which iBOT lacks.',
    report='ibot',
)
MASKALIGN = Story(
    {'MaskAlign': 'maskalign_vit-demo_scenes.py', 'MaskAlign-D': 'maskalign-d_vit-demo_scenes.py'},
    'MaskAlign-D is MaskAlign plus the de-coupling branch. Teacher is the iBOT of the demo, which stays as it is while '
    'it teaches both; on real images MaskAlign takes CLIP.',
    report='maskalign',
    teacher=IBOT.runs['iBOT'],
)
SOCO = Story(
    {
        'SoCo': 'soco_resnet-demo_scenes.py',
        'SoCo-D': 'soco-d_resnet-demo_scenes.py',
        'Control': 'soco-same_resnet-demo_scenes.py',
    },
    "SoCo-D is SoCo plus the de-coupling branch on proposals, with RCC instead of SoCo's cutout. Control is the same "
    'with nothing mixed in (Xᴰ = X): what SoCo-D gains over Control comes from the foreign background. The proposals '
    'are random boxes.',
    report='soco',
)
LEOPART = Story(
    {'Leopart': 'leopart_vit-demo_scenes.py', 'Leopart-D': 'leopart-d_vit-demo_scenes.py'},
    'Leopart-D is Leopart plus the de-coupling branch. Start is the iBOT of the demo, which both go on from; on real '
    'images Leopart goes on from DINO.',
    report='leopart',
    start=IBOT.runs['iBOT'],
)
PLRC = Story(
    {
        'PLRC': 'plrc_resnet-demo_scenes.py',
        'PLRC-D': 'plrc-d_resnet-demo_scenes.py',
        'Control': 'plrc-control_resnet-demo_scenes.py',
    },
    'PLRC-D is PLRC plus the de-coupling branch. Control is the same branch with nothing mixed in (Xᴰ = X): what '
    'PLRC-D gains over Control comes from the foreign background, what Control gains over PLRC comes from the extra '
    'loss at the same positions.',
    report='plrc',
)
STORIES = {'densecl': DENSECL, 'ibot': IBOT, 'maskalign': MASKALIGN, 'soco': SOCO, 'leopart': LEOPART, 'plrc': PLRC}
CAUTION = (
    'One seed, small networks, minutes of training on synthetic scenes: this shows the machinery and the '
    'direction of strong effects, not the numbers of the paper.'
)
