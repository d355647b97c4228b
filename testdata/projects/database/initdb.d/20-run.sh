#!/bin/sh
echo "run by $(id -un)"
