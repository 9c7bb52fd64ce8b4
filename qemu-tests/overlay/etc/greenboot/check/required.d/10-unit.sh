#!/bin/bash
[[ $(cat /var/lib/unit/fault 2>/dev/null) != greenboot ]] || { echo "greenboot says no"; exit 1; }
