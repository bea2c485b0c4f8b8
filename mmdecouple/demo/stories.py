"""Runs of the demo of each method, and the relations between them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Story:
    """Runs of the demo of one method.

    Args:
        runs: Name in the report -> config in `configs/demo/`, the base method first.
        notes: Description of the relations between the runs, for the report.
        report: Folder of the report, below that of the runs.
        teacher: Config of the teacher of the other runs, which is trained before them; None for none.
        start: Config of the run from whose backbone the other runs start; None for none. It is trained before them and
            listed before them in the report, as they share its untrained network.
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
        'Control': 'densecl-control_resnet-demo_scenes.py',
    },
    'DenseCL-D is DenseCL plus the de-coupling branch. Control is the same branch without mixing (Xᴰ = X): '
    'the gain of DenseCL-D over Control comes from the foreign background, the gain of Control over DenseCL from '
    'the additional loss at the same positions.',
    report='',
)
IBOT = Story(
    {
        'iBOT': 'ibot_vit-demo_scenes.py',
        'iBOT-D': 'ibot-d_vit-demo_scenes.py',
        'Control': 'ibot-control_vit-demo_scenes.py',
    },
    'iBOT-D is iBOT plus the de-coupling branch. Control is the same branch without mixing (Xᴰ = X): the gain of '
    'iBOT-D over Control comes from the foreign background, the gain of Control over iBOT from a loss on '
    'visible tokens, which iBOT lacks.',
    report='ibot',
)
MASKALIGN = Story(
    {'MaskAlign': 'maskalign_vit-demo_scenes.py', 'MaskAlign-D': 'maskalign-d_vit-demo_scenes.py'},
    'MaskAlign-D is MaskAlign plus the de-coupling branch. Teacher is the iBOT of the demo, which is frozen and '
    'teaches both; on real images, MaskAlign uses CLIP.',
    report='maskalign',
    teacher=IBOT.runs['iBOT'],
)
SOCO = Story(
    {
        'SoCo': 'soco_resnet-demo_scenes.py',
        'SoCo-D': 'soco-d_resnet-demo_scenes.py',
        'Control': 'soco-control_resnet-demo_scenes.py',
    },
    "SoCo-D is SoCo plus the de-coupling branch on proposals, with RCC instead of SoCo's cutout. Control is the same "
    'without mixing (Xᴰ = X): the gain of SoCo-D over Control comes from the foreign background. The proposals '
    'are random boxes.',
    report='soco',
)
PIXPRO = Story(
    {
        'PixPro': 'pixpro_resnet-demo_scenes.py',
        'PixPro-D': 'pixpro-d_resnet-demo_scenes.py',
        'Control': 'pixpro-control_resnet-demo_scenes.py',
    },
    'PixPro-D is PixPro plus the de-coupling branch. Control is the same branch with nothing mixed in (Xᴰ = X): what '
    'PixPro-D gains over Control comes from the foreign background, what Control gains over PixPro comes from the '
    'extra loss at the same positions.',
    report='pixpro',
)
RESIM = Story(
    {
        'ReSim': 'resim_resnet-demo_scenes.py',
        'ReSim-D': 'resim-d_resnet-demo_scenes.py',
        'Control': 'resim-control_resnet-demo_scenes.py',
    },
    'ReSim-D is ReSim plus the de-coupling branch. Control is the same branch without mixing (Xᴰ = X): the gain of '
    'ReSim-D over Control comes from the foreign background, the gain of Control over ReSim from the additional loss '
    'at the same positions.',
    report='resim',
)
LEOPART = Story(
    {'Leopart': 'leopart_vit-demo_scenes.py', 'Leopart-D': 'leopart-d_vit-demo_scenes.py'},
    'Leopart-D is Leopart plus the de-coupling branch. Start is the iBOT of the demo, from which both start; on real '
    'images, Leopart starts from DINO.',
    report='leopart',
    start=IBOT.runs['iBOT'],
)
NECO = Story(
    {
        'NeCo': 'neco_vit-demo_scenes.py',
        'NeCo-D': 'neco-d_vit-demo_scenes.py',
        'Control': 'neco-control_vit-demo_scenes.py',
    },
    'NeCo-D is NeCo plus the de-coupling branch. Control is the same branch without mixing (Xᴰ = X). Start is the iBOT '
    'of the demo, from which all start; on real images, NeCo starts from DINO or DINOv2.',
    report='neco',
    start=IBOT.runs['iBOT'],
)
PAKA = Story(
    {
        'PaKA': 'paka_vit-demo_scenes.py',
        'PaKA-D': 'paka-d_vit-demo_scenes.py',
        'Control': 'paka-control_vit-demo_scenes.py',
    },
    'PaKA-D is PaKA plus the de-coupling branch. Control is the same branch without mixing (Xᴰ = X). Start is the iBOT '
    'of the demo, from which all start; on real images, PaKA starts from DINO or DINOv2.',
    report='paka',
    start=IBOT.runs['iBOT'],
)
PLRC = Story(
    {
        'PLRC': 'plrc_resnet-demo_scenes.py',
        'PLRC-D': 'plrc-d_resnet-demo_scenes.py',
        'Control': 'plrc-control_resnet-demo_scenes.py',
    },
    'PLRC-D is PLRC plus the de-coupling branch. Control is the same branch without mixing (Xᴰ = X): the gain of '
    'PLRC-D over Control comes from the foreign background, the gain of Control over PLRC from the additional loss at '
    'the same positions.',
    report='plrc',
)
UNIREFINER = Story(
    {'UniRefiner': 'unirefiner_vit-demo_scenes.py', 'UniRefiner-D': 'unirefiner-d_vit-demo_scenes.py'},
    'UniRefiner-D is UniRefiner plus the de-coupling branch. Start is the iBOT of the demo, which both refine.',
    report='unirefiner',
    start=IBOT.runs['iBOT'],
)
STORIES = {
    'densecl': DENSECL,
    'ibot': IBOT,
    'maskalign': MASKALIGN,
    'soco': SOCO,
    'resim': RESIM,
    'leopart': LEOPART,
    'neco': NECO,
    'paka': PAKA,
    'pixpro': PIXPRO,
    'plrc': PLRC,
    'unirefiner': UNIREFINER,
}
CAUTION = (
    'One seed, small networks, minutes of training on synthetic scenes: this demonstrates the programs and the '
    'direction of strong effects, not the numbers of the paper.'
)
