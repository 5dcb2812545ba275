// Package adminv1 is the schema of the admin API, generated from admin.proto.
//
// The contract is the .proto file: field numbers and names are never reused, and
// what is added later is optional. To generate the code again, install protoc,
// protoc-gen-go and protoc-gen-connect-go and run "go generate ./admin/v1".
package adminv1

//go:generate protoc -I . --go_out=. --go_opt=paths=source_relative --connect-go_out=. --connect-go_opt=paths=source_relative admin.proto
