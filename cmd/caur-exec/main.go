// Command caur-exec is the executor side of caur: it builds the jobs of the queue and keeps the package repositories.
package main

import (
	"os"

	"github.com/caur-build/caur/cmd/caur-exec/internal/cli"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
)

func main() {
	container.MaybeInit()
	os.Exit(cli.Main())
}
