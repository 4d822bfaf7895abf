// @ts-check
// What comes from Python as bytes.

/** A bytes trait as numbers. The copy matters: a message's buffer need not start on a 4-byte boundary.
 * @param {DataView} view @param {any} Type */
export function numbers(view, Type = Float32Array) {
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** Logits from bytes: each holds the square root of how far a logit lies below the best one.
 * @param {Uint8Array} codes @param {number} span */
export function unpack(codes, span) {
  const below = Float32Array.from({ length: 256 }, (_, q) => -span * (q / 255) ** 2);
  return Float32Array.from(codes, (q) => below[q]);
}

/** The history of a run in the kernel, see live/trainer.py. @param {DataView} view @param {number} E */
export function historyOf(view, E) {
  const values = numbers(view);
  const width = 3 + E;
  return Array.from({ length: values.length / width }, (_, i) => {
    const [step, task, balance, ...shares] = values.subarray(i * width, (i + 1) * width);
    return { step, task, balance, shares };
  });
}
