"""Built-in scenes: a deterministic generator of images with several objects.

(seed, split, index) determines the pixels, boxes, exact masks, labels and the background.
"""

from mmdecouple.datasets.scenes.classes import BACKGROUNDS, CLASSES
from mmdecouple.datasets.scenes.layout import Layout, draw_layout, scene_info
from mmdecouple.datasets.scenes.render import Scene, draw_scene
from mmdecouple.datasets.scenes.spec import SceneSpec

__all__ = ['BACKGROUNDS', 'CLASSES', 'Layout', 'Scene', 'SceneSpec', 'draw_layout', 'draw_scene', 'scene_info']
