"""What a board does when it gets power, for the unix port, which starts no file by name: boot.py, then main.py."""

import boot  # noqa: F401
import main  # noqa: F401
