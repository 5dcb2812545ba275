module github.com/theseus-run/theseus/bench/delta

go 1.26.0

require github.com/theseus-run/theseus v0.0.0

require github.com/klauspost/compress v1.20.3 // indirect

replace github.com/theseus-run/theseus => ../..
