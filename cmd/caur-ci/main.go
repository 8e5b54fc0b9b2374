// Command caur-ci is the pipeline side of caur: it finds what a commit changes, plans its builds and hands them to the
// queue.
package main

import (
	"os"

	"github.com/caur-build/caur/cmd/caur-ci/internal/cli"
)

func main() { os.Exit(cli.Main()) }
