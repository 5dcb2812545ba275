package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echo is a service that needs no generated code: Say answers with the process ID
// and what was said, Ticks with as many answers of that kind as the number says,
// one each 20 ms.
var echo = grpc.ServiceDesc{
	ServiceName: "example.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(wrapperspb.StringValue)
		if err := decode(in); err != nil {
			return nil, err
		}
		return wrapperspb.String(fmt.Sprint(os.Getpid(), " ", in.Value)), nil
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Ticks", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		n := new(wrapperspb.Int64Value)
		if err := s.RecvMsg(n); err != nil {
			return err
		}
		for i := range n.Value {
			if err := s.SendMsg(wrapperspb.String(fmt.Sprint(os.Getpid(), " ", i))); err != nil {
				return err
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-s.Context().Done():
				return s.Context().Err()
			}
		}
		return nil
	}}},
}
