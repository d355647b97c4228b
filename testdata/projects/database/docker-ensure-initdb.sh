#!/bin/sh
echo ensured
