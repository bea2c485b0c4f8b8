"""`python -m mmdecouple COMMAND ...`: the program `mmdecouple`."""

from mmdecouple.commands.entry import main

if __name__ == '__main__':
    main()
