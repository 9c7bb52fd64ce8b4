#!/bin/bash
[[ $(/usr/lib/unit/fault) != greenboot ]] || { echo "greenboot says no"; exit 1; }
