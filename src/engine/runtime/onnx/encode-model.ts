import { create, toBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema } from "./onnx_pb.ts";

/** From opset 18 on, reductions take their axes as an input, and opset 20's ReduceMax takes int32; IR version 9 is its companion. */
const OPSET = 20n;
const IR_VERSION = 9n;

/** A graph as the bytes of an ONNX model. */
export function encodeModel(graph: GraphProto): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: IR_VERSION,
      producerName: "pursuit",
      graph,
      opsetImport: [{ domain: "", version: OPSET }],
    }),
  );
}
