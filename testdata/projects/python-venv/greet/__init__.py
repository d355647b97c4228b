import os
import sys


def main() -> None:
    print(f"hello from {sys.argv[1]} {os.getuid()} {os.getcwd()}")
