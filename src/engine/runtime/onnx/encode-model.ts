import { create, toBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema } from "./onnx_pb.ts";

/** From opset 18 reductions take their axes as an input; ReduceMax takes int32 from opset 20. Its IR version is 9. */
const OPSET = 20n;
const IR_VERSION = 9n;

/** Encodes a graph as the bytes of an ONNX model. */
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
