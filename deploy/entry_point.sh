#!/usr/bin/env bash
# Entry point of the image, with the arguments of the earlier manager: /entry_point.sh schedule --target-repo=R PKG… Nothing is
# set up here: settings come from the environment, and the key for SSH from /app/sshkey or SSH_KEY_FILE.
exec caur-exec "$@"
