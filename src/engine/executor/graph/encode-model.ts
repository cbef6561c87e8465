import { create, toBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema } from "../onnx/onnx_pb.ts";

/** Opset 18 brought ReduceSumSquare's and ReduceMax's axes as inputs; IR version 10 belongs to the opsets 21 and 22. */
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
