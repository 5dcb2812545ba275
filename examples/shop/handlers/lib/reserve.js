import { find } from "./catalogue.js";
import { put, take } from "./stock.js";

// Take the pieces of an order out of the store: all of them, or none and 409.
// What was taken is noted under the order's number; a retry finds the note and
// takes nothing twice.
export default ({ order, lines }) => {
  const note = `reserved:${order}`;
  const before = kv.get(note);
  if (before) return { lines: before };

  const taken = [];
  try {
    for (const { id, qty } of lines) {
      take(find(id), qty);
      taken.push({ id, qty });
    }
  } catch (err) {
    for (const { id, qty } of taken) put(find(id), qty);
    throw err;
  }
  kv.set(note, taken);
  return { lines: taken };
};
