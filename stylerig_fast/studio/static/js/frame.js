/** A frame of the live connection: "SRF1", uint32 length of the header, header (JSON), picture bytes. */

const MAGIC = 0x31465253; // "SRF1", little endian

/**
 * @param {ArrayBuffer} data
 * @returns {{header: object, blob: Blob}|null} null for what is no frame.
 */
export function parseFrame(data) {
  if (data.byteLength < 8) return null;
  const view = new DataView(data);
  if (view.getUint32(0, true) !== MAGIC) return null;
  const end = 8 + view.getUint32(4, true);
  if (end > data.byteLength) return null;
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 8, end - 8)));
  return { header, blob: new Blob([new Uint8Array(data, end)], { type: `image/${header.format}` }) };
}
