import { Message, MessageHeader } from "apache-arrow";
import { DictionaryBatch } from "apache-arrow/fb/dictionary-batch";
import type { Field } from "apache-arrow/fb/field";
import { Message as Head } from "apache-arrow/fb/message";
import { RecordBatch } from "apache-arrow/fb/record-batch";
import { Schema } from "apache-arrow/fb/schema";
import { ByteBuffer } from "flatbuffers";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";

/** Columns with their parts, and texts beside them, that a schema may have. */
const MAX_FIELDS = 10_000;

/**
 * Decodes the metadata of an Arrow message from a file that may be hostile. The library believes the lengths in it and
 * would loop for ever over a false one, so they are held against the bytes first.
 * @throws FormatError
 */
export function decodeMessage(path: string, at: number, metadata: Uint8Array): Message {
  try {
    checkLengths(metadata);
    const message = Message.decode(metadata);
    message.header();
    return message;
  } catch (error) {
    throw new FormatError(path, `the message at byte ${at} cannot be read: ${(error as Error).message}`);
  }
}

function checkLengths(metadata: Uint8Array): void {
  const head = Head.getRootAsMessage(new ByteBuffer(metadata));
  // An entry of a list takes 4 bytes at least, a node, a buffer or a text 16.
  const most = metadata.length / 4;
  const expect = (length: number, limit = most): void => {
    if (!(length >= 0 && length <= limit)) throw new Error(`it claims a list of ${length} entries`);
  };
  const checkBatch = (batch: RecordBatch): void => {
    for (const length of [batch.nodesLength(), batch.buffersLength()]) expect(length, metadata.length / 16);
    expect(batch.variadicBufferCountsLength(), metadata.length / 8);
  };
  let left = MAX_FIELDS;
  const checkField = (field: Field | null): void => {
    if (field === null || --left < 0)
      throw new Error(`it has over ${MAX_FIELDS} columns and parts, or lacks one that it claims`);
    if (field.name() === null) throw new Error("it has a column without a name");
    expect(field.customMetadataLength(), (left -= field.customMetadataLength()));
    expect(field.childrenLength());
    for (let i = 0; i < field.childrenLength(); i++) checkField(field.children(i));
  };
  expect(head.customMetadataLength());
  const type = head.headerType();
  if (type === MessageHeader.Schema) {
    const schema = head.header(new Schema()) as Schema;
    expect(schema.customMetadataLength());
    expect(schema.fieldsLength());
    for (let i = 0; i < schema.fieldsLength(); i++) checkField(schema.fields(i));
  } else if (type === MessageHeader.RecordBatch) checkBatch(head.header(new RecordBatch()) as RecordBatch);
  else if (type === MessageHeader.DictionaryBatch)
    checkBatch((head.header(new DictionaryBatch()) as DictionaryBatch).data()!);
  else throw new Error(`it is of kind ${type}, which holds no rows`);
}
