"""Writes lists of a few percent of COCO's training images, as `mmdecouple subset` does."""

from mmdecouple.commands.subset import main

if __name__ == '__main__':
    main()
