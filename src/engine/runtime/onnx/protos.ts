import { create } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  type GraphProto,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./onnx_pb.ts";

/** ONNX's numbers for element types (TensorProto.DataType). */
export const ELEMENT = { float32: 1, int32: 6, int64: 7, bool: 9 } as const;
export type Element = keyof typeof ELEMENT;

/** ONNX's numbers for attribute types (AttributeProto.AttributeType). */
const ATTRIBUTE = { float: 1, int: 2, graph: 5, ints: 7 } as const;

/** Name of a graph's value, unique in a model: a subgraph may use the values around it. */
export type Value = string & { readonly __value: never };

/** A size, a named free dimension, or null if the runtime infers it. */
export type Dimension = number | string | null;

export type Attribute = number | readonly number[] | GraphProto;

export function tensor(
  name: string,
  element: Element,
  shape: readonly number[],
  rest: Partial<Pick<TensorProto, "rawData" | "dataLocation">> & { externalData?: { key: string; value: string }[] },
): TensorProto {
  return create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType: ELEMENT[element], ...rest });
}

export function attributeOf(name: string, value: Attribute): AttributeProto {
  if (typeof value === "number") return create(AttributeProtoSchema, { name, type: ATTRIBUTE.int, i: BigInt(value) });
  if (Array.isArray(value)) {
    return create(AttributeProtoSchema, { name, type: ATTRIBUTE.ints, ints: (value as readonly number[]).map(BigInt) });
  }
  return create(AttributeProtoSchema, { name, type: ATTRIBUTE.graph, g: value as GraphProto });
}

export function describe(name: Value, element: Element, shape: readonly Dimension[]): ValueInfoProto {
  const dim = shape.map((size) => {
    if (size === null) return {};
    if (typeof size === "string") return { value: { case: "dimParam" as const, value: size } };
    return { value: { case: "dimValue" as const, value: BigInt(size) } };
  });
  return create(ValueInfoProtoSchema, { name, type: { tensorType: { elemType: ELEMENT[element], shape: { dim } } } });
}

/** The same type without a shape, for a value whose shape changes from turn to turn. */
export function shapeless(value: ValueInfoProto): NonNullable<ValueInfoProto["type"]> {
  const { type } = create(ValueInfoProtoSchema, {
    type: { tensorType: { elemType: value.type!.tensorType!.elemType } },
  });
  return type!;
}
