"""Evaluates segmentation with frozen features, as `mmdecouple segment` does."""

from mmdecouple.commands.segment import main

if __name__ == '__main__':
    main()
