"""Golden numbers of UniRefiner, by the official filters, losses and step.

    python -m tests.test_models.golden.make_unirefiner UNIREFINER

UNIREFINER is a checkout of `CongpeiQiu/UniRefiner` (38f4e71, Apache-2.0). Writes unirefiner.json.
"""

import sys
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from . import formula, recipe

ROWS, TOKENS, FOREIGN, CHANNELS = 3, 12, 6, 8
BATCH, CROPS, SIZE, PATCH, REGISTERS = 3, 2, 32, 8, 20
SIDES = ('left', 'top', 'right', 'bottom')
WATCHED = ('cls_token', 'blocks.0.norm1.weight', 'blocks.0.attn.proj.bias', 'blocks.1.mlp.fc2.bias', 'norm.weight')


def unit(name: str, *shape: int) -> Tensor:
    """Normalized tokens."""
    return F.normalize(formula.tensor(name, shape), dim=-1)


def filters(code: SimpleNamespace) -> dict:
    """The clean tokens of both criteria, against foreign tokens and against registers."""
    own, foreign = unit('own', ROWS, TOKENS, CHANNELS), unit('foreign', ROWS, FOREIGN, CHANNELS)
    clean = dict(
        deviations=code.fp_gp.filter_by_fp_gp_similarity(own, foreign, zscore_sigma=0.5),
        cosine=code.fp_gp.filter_by_fp_gp_similarity(own, foreign, cosine_threshold=0.5),
        registers=code.adaptive.filter_by_adaptive_register(foreign, own, cosine_threshold=0.55),
    )
    return {name: mask.int().tolist() for name, mask in clean.items()}


def losses(code: SimpleNamespace) -> dict:
    """The terms of given tokens, with gradients with respect to those of the student."""
    names = dict(crops=TOKENS, targets=TOKENS, registers=FOREIGN, spurious=FOREIGN, whole=TOKENS, images=TOKENS)
    tokens = {name: unit(name, ROWS, count, CHANNELS) for name, count in names.items()}
    # Some cosines exceed the thresholds below which no gradient flows.
    tokens['crops'] = F.normalize(tokens['crops'] + tokens['targets'], dim=2)
    tokens['registers'] = F.normalize(tokens['registers'] + 2 * tokens['spurious'], dim=2)
    clean = formula.tensor('clean', (ROWS, TOKENS)) > -0.3
    found = {}
    for name, mask in (('some clean', clean), ('none clean', torch.zeros_like(clean))):
        student = {key: tokens[key].clone().requires_grad_() for key in ('crops', 'registers', 'whole')}
        refine, _, absorption, _ = code.losses.compute_refinement_loss(
            student['crops'],
            tokens['targets'],
            mask,
            student['registers'],
            tokens['spurious'],
            student['whole'],
            tokens['images'],
            args=SimpleNamespace(uniformity_strength=0.3),
            # The spurious tokens are their own nearest tokens.
            teacher_spurious_rematch_pool_tokens=tokens['spurious'],
        )
        distillation = code.losses.compute_spatial_consistency_loss(student['crops'], tokens['targets'])
        terms = dict(refine=refine, absorption=absorption, distillation=distillation)
        found[name] = {term: value.item() for term, value in terms.items()} | {
            f'gradient of {term}': {
                key: None if part is None else part.flatten().tolist()
                for key, part in zip(
                    student, torch.autograd.grad(value, [*student.values()], allow_unused=True, retain_graph=True)
                )
            }
            for term, value in terms.items()
        }
    return found


def vit(owner: str) -> VisionTransformer:
    """A ViT of timm with weights by formula; without positions, as every code resizes them in its own way."""
    model = VisionTransformer(
        img_size=SIZE, patch_size=PATCH, embed_dim=32, depth=2, num_heads=2, num_classes=0, dynamic_img_size=True
    )
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    weights = formula.weights(owner, shapes)
    weights['pos_embed'] = torch.zeros_like(weights['pos_embed'])
    model.load_state_dict(weights)
    model.patch_size = PATCH
    model.encode_dense = lambda images: model.forward_features(images)[:, 1:]
    model.hook_prepare = lambda cache: None
    return model


def draws(side: int) -> dict[str, Any]:
    """What a step draws: boxes, detectors, and ranks of the spurious tokens, by formula."""
    spread = (formula.tensor(f'boxes {side}', (BATCH * CROPS, 4)) + 1) / 2
    size = 0.5 + 0.3 * spread[:, 2:]
    low = (1 - size) * spread[:, :2]
    ranks = ((formula.tensor(f'ranks {side}', (2, BATCH * CROPS, REGISTERS)) + 1) / 2 * 6).long()
    detectors = formula.tensor(f'detectors {side}', (REGISTERS,)).argsort()[: REGISTERS // 3]
    return dict(boxes=torch.cat([low, low + size], dim=1), detectors=detectors, ranks=ranks)


def step(code: SimpleNamespace, side: int) -> dict:
    """The official step after its start, each image with the next one of the batch as background."""
    student, teacher = vit('student'), vit('teacher')
    images, drawn = formula.image(f'refined {side}', BATCH, SIZE), draws(side)
    partners = images.roll(-1, 0)
    beside = partners.repeat_interleave(CROPS, 0)
    with torch.no_grad():
        others = F.normalize(teacher.encode_dense(partners), dim=2).repeat_interleave(CROPS, 0)
    ranks = iter(drawn['ranks'])
    compose, analyze = code.method.compose_crop_with_background, code.method.analyze_fp_gp_similarity

    def composed(crops: Tensor, _: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        parts = [compose(crops[i : i + 1], beside[i : i + 1], **options) for i in range(len(crops))]
        return tuple(torch.cat(part) for part in zip(*parts))

    def sampled(weights: Tensor, count: int, replacement: bool, fallback_scores: Tensor) -> Tensor:
        places = fallback_scores.topk(6, dim=1).indices.gather(1, next(ranks))
        assert places.shape[1] == count and weights.gather(1, places).all()
        return places

    def analyzed(own: Tensor, foreign: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        return analyze(own, others if len(foreign) == 1 else foreign, **options)

    args = SimpleNamespace(
        reg_factor=4, register_fill='zero', num_proposals=CROPS, train_stage=0.5, uniformity_strength=0.3,
        fp_gp_sigma=0.5, fp_gp_cosine_threshold=None, adaptive_spurious_detector_cosine_threshold=0.9,
        disable_attention_hijack_filter=True,
    )  # fmt: skip
    with (
        mock.patch.multiple(
            code.method,
            sample_random_crop_boxes=lambda **_: drawn['boxes'].numpy(),
            compose_crop_with_background=composed,
            analyze_fp_gp_similarity=analyzed,
        ),
        mock.patch.object(code.fp_gp, 'safe_multinomial', sampled),
        mock.patch.object(code.crops.np.random, 'randint', lambda *_: side),
        mock.patch.object(torch, 'randperm', lambda *_, **__: drawn['detectors']),
    ):
        terms, _ = code.method.UniRefinerMethod()(
            (images, partners), student, teacher, torch.device('cpu'), torch.float32, False, args
        )
    names = ('loss_final', 'nce_loss', 'loss_scd', 'align_reg', 'useful_ratio')
    terms['loss_final'].backward()
    gradients = {name: student.get_parameter(name).grad.flatten().tolist() for name in WATCHED}
    return {name: terms[name].item() for name in names} | {'gradients': gradients}


def main() -> None:
    """Runs the checkout."""
    recipe.one_process_on_the_cpu()
    code = SimpleNamespace(
        method=recipe.official(sys.argv[1], 'unirefiner.method.unirefiner'),
        losses=recipe.official(sys.argv[1], 'unirefiner.method.losses'),
        crops=recipe.official(sys.argv[1], 'unirefiner.method.crops'),
        fp_gp=recipe.official(sys.argv[1], 'unirefiner.spurious_filtering.fp_gp'),
        adaptive=recipe.official(sys.argv[1], 'unirefiner.spurious_filtering.adaptive_register'),
    )
    recipe.write(
        'unirefiner',
        {
            'weights': {name: list(value.shape) for name, value in vit('student').state_dict().items()},
            'filters': filters(code),
            'losses': losses(code),
            'steps': {name: step(code, side) for side, name in enumerate(SIDES)},
        },
    )


if __name__ == '__main__':
    main()
