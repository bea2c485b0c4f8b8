"""Draws a sheet of built-in scenes, optionally with the outlines of masks and boxes.

python tools/dataset_tools/browse_scenes.py --out work_dirs/scenes --rows 4 --columns 8 --marks
"""

import cv2
import numpy as np

from mmdecouple.commands import options
from mmdecouple.commands.scene_options import add_scene_options, read_scenes
from mmdecouple.datasets.scenes import CLASSES, Scene, draw_scene
from mmdecouple.datasets.scenes.spec import SPLITS
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive, whole
from mmdecouple.utils.files import check_writable, write_bytes

GAP = 6
SHEET = 'scenes.png'


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    options.add_out(parser, None, SHEET)
    parser.add_argument('--rows', type=positive, default=4, metavar='N', help='rows of the sheet (default: 4)')
    parser.add_argument('--columns', type=positive, default=8, metavar='N', help='columns of the sheet (default: 8)')
    parser.add_argument('--split', choices=SPLITS, default='train', help='split of the scenes (default: train)')
    parser.add_argument('--start', type=whole, default=0, metavar='N', help='index of the first scene (default: 0)')
    parser.add_argument(
        '--scale', type=positive, default=2, metavar='N', help='screen pixels per scene pixel (default: 2)'
    )
    parser.add_argument('--marks', action='store_true', help='draw masks, boxes and class names')
    add_scene_options(parser)
    return parser


def main() -> None:
    args = parser().parse_args()
    with program():
        check_writable(args.out / SHEET)
        spec = read_scenes(args)
    tiles = [
        _tile(draw_scene(spec, args.split, args.start + i), args.scale, args.marks)
        for i in range(args.rows * args.columns)
    ]
    sheet = np.concatenate(
        [np.concatenate(tiles[row * args.columns : (row + 1) * args.columns], axis=1) for row in range(args.rows)]
    )
    write_bytes(args.out / SHEET, cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    print(f'Wrote {args.out / SHEET}: {args.rows} x {args.columns} scenes, {sheet.shape[1]} x {sheet.shape[0]} pixels.')


def _tile(scene: Scene, scale: int, marks: bool) -> np.ndarray:
    image = cv2.resize(scene.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    if marks:
        layout = scene.layout
        for mask, box, label in zip(layout.masks, layout.boxes.astype(int) * scale, layout.labels):
            large = cv2.resize(mask.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            contours, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(image, contours, -1, (255, 255, 255), 1)
            x1, y1, x2, y2 = box.tolist()
            cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), (0, 0, 0), 1)
            for color, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(
                    image,
                    CLASSES[label].name,
                    (x1 + 2, y1 + 9),
                    cv2.FONT_HERSHEY_SIMPLEX,
                    0.3,
                    color,
                    width,
                    cv2.LINE_AA,
                )
    return cv2.copyMakeBorder(image, GAP, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))


if __name__ == '__main__':
    main()
