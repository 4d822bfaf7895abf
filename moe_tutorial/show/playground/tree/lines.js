// @ts-check
// The lines of the nodes' questions in the plane.

/** @typedef {number[]} Place */
/** @typedef {{ node: number, level: number, ends: Place[] | null }} Line */

/** Cut a polygon along a node's line: `inside` is the part where side * logit >= 0, `ends` are the crossings of its
 * border.
 * @param {Place[]} corners @param {(place: Place) => number} logit @param {number} side */
function cut(corners, logit, side) {
  /** @type {Place[]} */
  const inside = [];
  /** @type {Place[]} */
  const ends = [];
  corners.forEach((a, i) => {
    const b = corners[(i + 1) % corners.length];
    const va = side * logit(a);
    const vb = side * logit(b);
    if (va >= 0) inside.push(a);
    if (va >= 0 === vb >= 0) return;
    const crossing = [0, 1].map((axis) => a[axis] + ((b[axis] - a[axis]) * va) / (va - vb));
    inside.push(crossing);
    ends.push(crossing);
  });
  return { inside, ends };
}

/** Each node's line, clipped to the part of the extent that reaches the node by hard decisions. `ends` is null if no
 * part does, or if all of it goes to one side.
 * @param {import("./descent.js").Descent} descent @param {number[]} extent @returns {Line[]} */
export function linesOf({ NODES, logit }, [left, right, bottom, top]) {
  const corner = (x, y) => [x, y];
  const areas = [[corner(left, bottom), corner(right, bottom), corner(right, top), corner(left, top)]];
  return Array.from({ length: NODES }, (_, n) => {
    const value = (/** @type {Place} */ [x0, x1]) => logit(n, x0, x1);
    const rightwards = cut(areas[n], value, 1);
    areas[2 * n + 1] = cut(areas[n], value, -1).inside;
    areas[2 * n + 2] = rightwards.inside;
    const { ends } = rightwards;
    return { node: n, level: Math.floor(Math.log2(n + 1)), ends: ends.length === 2 ? ends : null };
  });
}
