"""Golden numbers of MaskAlign by the official model.

    PYTHONPATH=TIMM python -m tests.test_models.golden.make_maskalign MASKALIGN

MASKALIGN is a checkout of `OpenDriveLab/maskalign` (250d018), TIMM a folder with timm (made with 1.0.31; the official
code asks for an old one, of which only the argument `qk_scale=None` is missing). Writes maskalign.json.
"""

import sys
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from . import formula, recipe

SIZES = dict(
    image=32,
    patch=8,
    width=32,
    depth=12,
    heads=2,
    mlp_ratio=4,
    layer_norm_eps=1e-6,
    teacher_width=768,
    teacher_depth=12,
    teacher_heads=2,
    batch=3,
    mask_ratio=0.7,
)
BATCH, CELLS, KEPT = SIZES['batch'], 16, 4
WATCHED = (
    'cls_token',
    'patch_embed.proj.weight',
    'blocks.0.attn.qkv.weight',
    'blocks.11.mlp.fc2.weight',
    'distill_weights',
    'distill_heads.7.weight',
    'distill_heads.11.bias',
)


class FormulaTeacher(nn.Module):
    """Stands for the CLIP model: hidden states and attentions by formula, whatever the images."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = None

    @classmethod
    def from_pretrained(cls, name: str) -> 'FormulaTeacher':
        return cls()

    def forward(self, pixel_values: Tensor, **kwargs: object) -> tuple:
        self.pixels = pixel_values
        return None, None, teacher_states(), [attention()]


def teacher_states() -> list[Tensor]:
    """The embedding output and twelve layers."""
    return [
        formula.tensor(f'teacher state {i}', (BATCH, 1 + CELLS, SIZES['teacher_width']), 2).double()
        for i in range(1 + SIZES['teacher_depth'])
    ]


def attention() -> Tensor:
    """Positive attention of the last layer, `(B, heads, 1 + P, 1 + P)`."""
    return 1 + formula.tensor('attention', (BATCH, SIZES['teacher_heads'], 1 + CELLS, 1 + CELLS), 0.9).double()


def order() -> Tensor:
    """The order in which cells are drawn; the first ones are kept."""
    return formula.tensor('order', (BATCH, CELLS)).argsort(1)


def replace_clip() -> None:
    """Put the teacher by formula in place of CLIP, and pass over the argument that timm no longer has."""
    from timm.models import vision_transformer as timm_vit

    block = timm_vit.Block
    timm_vit.Block = lambda *args, qk_scale=None, **kwargs: block(*args, **kwargs)
    recipe.stub('transformers', CLIPVisionModel=FormulaTeacher, ViTModel=None)


def build(folder: str) -> nn.Module:
    """The official model as its README trains it, made tiny."""
    pretrain = recipe.official(folder, 'models_pretrain')
    with torch.random.fork_rng():
        model = pretrain.MaskedAutoencoderViT(
            img_size=SIZES['image'],
            patch_size=SIZES['patch'],
            embed_dim=SIZES['width'],
            depth=SIZES['depth'],
            num_heads=SIZES['heads'],
            mlp_ratio=SIZES['mlp_ratio'],
            norm_layer=partial(nn.LayerNorm, eps=SIZES['layer_norm_eps']),
            loss_weights='top5',
            mask_type='attention',
            fusion_type='linear',
            target_norm='whiten',
            loss_type='smoothl1',
            head_type='linear',
            teacher_model='openai/clip-vit-base-patch16',
        )
    return recipe.load(model, formula.weights('student', shapes(model)))


def shapes(model: nn.Module) -> dict[str, list[int]]:
    return {name: list(p.shape) for name, p in model.named_parameters() if p.requires_grad}


def norms(model: nn.Module) -> dict:
    found = {name: p.grad.norm() for name, p in model.named_parameters() if name in WATCHED and p.grad is not None}
    return {**found, 'distill_weights by row': model.distill_weights.grad.norm(dim=1)}


def main() -> None:
    """Stub the pretrained teacher and the draw, then run the official model."""
    recipe.one_process_on_the_cpu()
    replace_clip()
    drawn = SimpleNamespace()

    def multinomial(importance: Tensor, number: int, replacement: bool) -> Tensor:
        drawn.importance = importance
        return order()

    torch.multinomial = multinomial
    keep = order()[:, :KEPT]
    model = build(sys.argv[1])
    content = {'sizes': SIZES, 'weights': shapes(model), 'kept cells': keep}

    states = [
        formula.tensor(f'student state {i}', (BATCH, 1 + KEPT, SIZES['width'])).double() for i in range(SIZES['depth'])
    ]
    student, teacher = model.get_student(states), model.get_teacher(teacher_states(), keep)
    loss = model.forward_loss(student, teacher)
    loss.backward()
    content['loss of given states'] = {
        'loss': loss,
        'norms of the student outputs by level': [level.norm() for level in student],
        'norms of the targets by level': [level.norm() for level in teacher],
        'first numbers of the last target of image 0': teacher[-1][0, 1, :4],
        'gradient norms': norms(model),
    }

    model.zero_grad()
    loss = model(formula.image('view 0', BATCH, SIZES['image']).double(), mask_ratio=SIZES['mask_ratio'])
    loss.backward()
    content['whole forward'] = {
        'loss': loss,
        'gradient norms': norms(model),
        'importance of image 0': drawn.importance[0],
        'teacher pixels of image 0, row 0, column 0': model.clip_model.pixels[0, :, 0, 0],
        'position embedding of the class token, norm': model.pos_embed[0, 0].norm(),
        'position embedding of row 1, column 2': model.pos_embed[0, 1 + 6],
    }
    recipe.write('maskalign', content)


if __name__ == '__main__':
    main()
