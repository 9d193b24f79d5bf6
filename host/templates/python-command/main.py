"""{{name}}: greets who its arguments name."""

import sys


def greeting(names: list[str]) -> str:
    return f"Hello, {' and '.join(names) or 'world'}!"


def main() -> int:
    print(greeting(sys.argv[1:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
