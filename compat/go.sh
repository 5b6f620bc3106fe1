# go.sh: what the folders of Go clients share: go.mod and go.sum pin, go builds.

go_version() { # module
    sed -n "s#.*$1 v\([^ ]*\).*#\1#p" "$CLIENT_DIR/go.mod" | head -n 1
}

go_fetch() {
    go mod download
}

go_build() {
    CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -o "$CACHE/program" .
}
