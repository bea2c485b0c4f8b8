"""Converts a network for other projects: `python tools/model_converters/convert.py NETWORK --to onnx --out DIR`."""

from mmdecouple.commands.convert import main

if __name__ == '__main__':
    main()
