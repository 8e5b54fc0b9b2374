// Command caur-exec is the executor side of caur: it builds the jobs of the queue and keeps the package repositories.
package main

import (
	"os"

	"github.com/caur-build/caur/cmd/caur-exec/internal/cli"
)

func main() { os.Exit(cli.Main()) }
