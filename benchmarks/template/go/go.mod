module weft/benchmarks/template/go

go 1.19
