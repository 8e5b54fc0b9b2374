package makepkg_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/testenv"
)

// The throw-away root of the test shares the network of the machine: what keeps the build off the server is the package's
// own wish alone.
func TestAPackageMayGiveUpTheNetworkOnceItsSourcesAreThere(t *testing.T) {
	testenv.Need(t, "curl")
	var mu sync.Mutex
	asked := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path]++
		_, _ = w.Write([]byte("data\n"))
	}))
	defer server.Close()
	recipe := head + "pkgname=p\nsource=(\"" + server.URL + "/data.txt\")\nsha256sums=(SKIP)\n" +
		"build() { curl -sSf " + server.URL + "/leak && return 1; (exec 3<>/dev/tcp/" + strings.Replace(server.Listener.Addr().String(), ":", "/", 1) + ") && return 1; true; }\n" +
		"package() { install -D data.txt \"$pkgdir/data\"; }\n"
	b := newBench(t)
	code, log, out := b.run(b.pkg("p", map[string]string{"PKGBUILD": recipe, ".CI/config": "CI_BUILD_NETWORK=none\n"}), nil)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	contains(t, log, "from now on there is no network")
	if asked["/data.txt"] != 1 || asked["/leak"] != 0 {
		t.Errorf("the server was asked %v", asked)
	}
	b.add(out)
	code, log, out = b.run(b.pkg("p", map[string]string{"PKGBUILD": recipe, ".CI/config": "CI_BUILD_NETWORK=none\n"}), nil)
	b.want(code, log, out, makepkg.CodeAlreadyBuilt)

	code, log, out = b.run(b.pkg("q", map[string]string{
		"PKGBUILD": head + "pkgname=q\npackage() { :; }\n", ".CI/config": "CI_BUILD_NETWORK=none\nBUILDER_PRIVILEGES=sudo\n",
	}), nil)
	b.want(code, log, out, makepkg.CodeFailed)
	contains(t, log, "exclude each other")
}

func TestABuildBecomesRootOnlyWhenItsPackageAskedForSudo(t *testing.T) {
	testenv.Need(t, "sudo")
	const recipe = head + "pkgname=p\nbuild() { [[ $(sudo -n id -u) == 0 ]]; }\npackage() { :; }\n"
	b := newBench(t)
	b.rights = []string{container.Sudo}
	code, log, out := b.run(b.pkg("p", map[string]string{"PKGBUILD": recipe, ".CI/config": "BUILDER_PRIVILEGES=sudo\n"}), nil)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	code, log, out = b.run(b.pkg("p", map[string]string{"PKGBUILD": recipe}), nil) // its container would let it
	b.want(code, log, out, 4)
	b.rights = nil
	code, log, out = b.run(b.pkg("p", map[string]string{"PKGBUILD": recipe, ".CI/config": "BUILDER_PRIVILEGES=sudo\n"}), nil)
	b.want(code, log, out, 4) // it asks, and its container does not let it
}
