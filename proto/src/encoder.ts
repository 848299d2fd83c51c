import { BinaryWriter } from "@bufbuild/protobuf/wire";

/** What the generated code has for each type of message. */
export interface MessageType<Message> {
  encode(message: Message, writer: BinaryWriter): BinaryWriter;
}

/**
 * For all messages: what a new writer allocates costs more than a short one, and a large one grows through several buffers. It keeps
 * the largest, which is twice a message of gRPC at most.
 */
let spareWriter = new BinaryWriter();

/** A message as bytes, in memory of their own. */
export function encoded<Message>(type: MessageType<Message>, message: Message): Buffer {
  const own = spareWriter;
  // Should it throw, what it has written is never met again.
  spareWriter = new BinaryWriter();
  const { buffer, byteOffset, length } = type.encode(message, own).finish();
  spareWriter = own;
  return Buffer.from(buffer, byteOffset, length);
}
