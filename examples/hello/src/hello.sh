#!/bin/sh
cat "$GREETING"
echo "This is $(id -u):$(id -g), process $$ of its own namespace."
