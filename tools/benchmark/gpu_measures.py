"""Metrics of untrained demo networks on built-in scenes, for the comparison of devices."""

from mmdecouple.evaluation import measure_model
from mmdecouple.evaluation.probes.suites import probe_config
from mmdecouple.networks.network import open_network
from mmdecouple.registry import DATASETS

NETWORKS = {
    'ViT': 'mmdecouple::demo/ibot-d_vit-demo_scenes.py',
    'ResNet': 'mmdecouple::demo/densecl-d_resnet-demo_scenes.py',
}


def numbers_of(network: str, device: str, tiny: bool) -> dict[str, float]:
    """Returns the value of every metric of every measure, with the same weights and draws on every device.

    Args:
        network: One of `NETWORKS`.
        device: `cpu` or `cuda`.
        tiny: Whether a measure draws at most 8 images, pairs or objects instead of 200.
    """
    opened = open_network(NETWORKS[network])
    probes = probe_config(None, opened.config, limit=8 if tiny else 200)
    for role in ('objects', 'bank', 'singles'):
        probes[role]['num_images'] = 60 if tiny else 400
    report = measure_model(opened.model.to(device), DATASETS.build(probes))
    return {key: metric['value'] for key, metric in report['metrics'].items()}
