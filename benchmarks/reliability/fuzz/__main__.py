"""``python -m benchmarks.reliability.fuzz``."""

from benchmarks.reliability.fuzz.driver import main

if __name__ == "__main__":
    main()
