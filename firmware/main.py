"""What MicroPython runs after boot.py: the node. Everything is in node/app.py."""

from node import hal
from node.app import main

hal.run(main())
