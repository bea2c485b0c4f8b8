"""Reports what is installed and what works: the same as `mmdecouple doctor`."""

from mmdecouple.commands.doctor import main

if __name__ == '__main__':
    main()
