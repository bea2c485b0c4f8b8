"""Writes built-in scenes as a COCO-format data set, as `mmdecouple scenes` does."""

from mmdecouple.commands.scenes import main

if __name__ == '__main__':
    main()
