# The image that packages are built in: BUILDER_IMAGE. caur-exec is mounted into it, nothing of caur is inside.
#
#   podman build -f deploy/Containerfile.builder -t caur-build-env deploy
#
# BASE may be any image with pacman and makepkg. The user of builds has no password and no way to become root.
ARG BASE=docker.io/library/archlinux:base-devel
FROM ${BASE}
RUN pacman -Syu --noconfirm --needed base-devel git ccache namcap \
 && pacman -Scc --noconfirm \
 && useradd --create-home --shell /usr/bin/nologin builder \
 && rm -f /etc/sudoers.d/*
