#!/bin/sh
exec caur-hello "$@"
