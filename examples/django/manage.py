# SPDX-License-Identifier: BSD-2-Clause
"""Django's command line: python manage.py check"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notes.settings")
    os.environ.setdefault("SECRET_KEY", "of the command line")
    execute_from_command_line(sys.argv)
