// @ts-check
// Decoding of the bytes traits that Python sends.

/** A bytes trait as a typed array. It is copied, because a message's buffer may not be aligned.
 * @param {DataView} view @param {any} Type */
export function numbers(view, Type = Float32Array) {
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** Decode logits: each byte is the square root of a logit's distance below the best one, as from `pack_logits` in
 * Python.
 * @param {Uint8Array} codes @param {number} span */
export function unpack(codes, span) {
  const below = Float32Array.from({ length: 256 }, (_, q) => -span * (q / 255) ** 2);
  return Float32Array.from(codes, (q) => below[q]);
}
