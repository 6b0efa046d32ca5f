// What the page does without a browser: state and undo, requests, interpolation, files, frames.
// node page_logic.mjs STATIC, run by tests/studio/test_page_js.py.

import assert from 'node:assert/strict';
import test from 'node:test';
import { pathToFileURL } from 'node:url';

const load = (name) => import(pathToFileURL(`${process.argv[2]}/js/${name}`));
const { Store } = await load('store.js');
const { exclusiveLight, indexed, inWords, pruned, rounded, withPart, without } = await load('request.js');
const { between, requestAt } = await load('interpolate.js');
const { InvalidFile, request: checked, savedPortrait, timeline } = await load('validate.js');
const { parseFrame } = await load('frame.js');

const unit = (name, side = 'both', mirror = null) => ({ name, label: name, group: 'mouth', side, mirror });
const studio = indexed({
  generator: 'stand-in',
  num_ws: 2,
  expressions: [
    unit('jawOpen'),
    unit('mouthSmileLeft', 'left', 'mouthSmileRight'),
    unit('mouthSmileRight', 'right', 'mouthSmileLeft'),
  ],
});
const person = (id) => ({
  id,
  params: {
    expression: [0.1, 0.2, 0.3],
    pose: { yaw: 4, pitch: -2, roll: 0 },
    illumination: Array.from({ length: 9 }, (_, b) => [b === 0 ? 3 : 0.1, 2, 1]),
  },
});
const fresh = () =>
  new Store({
    people: [person('a1'), person('a2')],
    person: 'a1',
    request: {},
    requests: {},
    hold: false,
    timeline: { keys: [], duration: 4, playing: false },
  });
const near = (found, expected, tolerance = 1e-9) =>
  assert.ok(Math.abs(found - expected) < tolerance, `${found}, not ${expected}`);

test('a drag is one step, whatever it passes through', () => {
  const store = fresh();
  for (const yaw of [1, 2, 3]) store.set({ request: { pose: { yaw } } }, { label: 'Yaw', drag: true });
  store.commit();
  store.set({ request: { pose: { yaw: 9 } } }, { label: 'Yaw' });
  store.undo();
  assert.deepEqual(store.state.request, { pose: { yaw: 3 } });
  store.undo();
  assert.deepEqual(store.state.request, {});
  assert.equal(store.undo(), false);
  store.redo();
  store.redo();
  assert.deepEqual(store.state.request, { pose: { yaw: 9 } });
  assert.equal(store.redo(), false);
});

test('a change after an undo forgets what could be redone', () => {
  const store = fresh();
  store.set({ request: { pose: { yaw: 1 } } });
  store.undo();
  store.set({ request: { pose: { yaw: 2 } } });
  assert.equal(store.redo(), false);
});

test('every person keeps their own request, and undo goes back to the one it changed', () => {
  const store = fresh();
  store.set({ request: { pose: { yaw: 10 } } }, { label: 'Yaw' });
  store.set({ person: 'a2' }, { silent: true });
  assert.deepEqual(store.state.request, {});
  store.set({ request: { pose: { yaw: -10 } } }, { label: 'Yaw' });
  store.set({ person: 'a1' }, { silent: true });
  assert.deepEqual(store.state.request, { pose: { yaw: 10 } });
  store.undo();
  assert.equal(store.state.person, 'a2');
  assert.deepEqual(store.state.request, {});
});

test('held controls go to the next person without replacing what that person was asked for', () => {
  const store = fresh();
  store.set({ request: { pose: { yaw: 10 } } });
  store.set({ hold: true });
  store.set({ person: 'a2' }, { silent: true });
  assert.deepEqual(store.state.request, { pose: { yaw: 10 } });
  store.set({ hold: false });
  store.set({ person: 'a1' }, { silent: true });
  store.set({ person: 'a2' }, { silent: true });
  assert.deepEqual(store.state.request, {});
});

test('playing is no step, and the state cannot be changed behind the store', () => {
  const store = fresh();
  store.set({ request: { pose: { yaw: 10 } } }, { silent: true });
  assert.equal(store.undo(), false);
  assert.throws(() => {
    store.state.request.pose.yaw = 1;
  }, TypeError);
});

test('undo does not bring back a person who was removed', () => {
  const store = fresh();
  store.set({ person: 'a2' }, { silent: true });
  store.set({ request: { pose: { yaw: 1 } } });
  store.set({ people: [person('a1')], person: 'a1' }, { silent: true });
  store.undo();
  assert.equal(store.state.person, 'a1');
});

test('parts that ask for nothing go, light and illumination exclude each other', () => {
  const gamma = Array(9).fill([1, 1, 1]);
  assert.deepEqual(pruned({ pose: { yaw: undefined }, expression: {} }), {});
  assert.deepEqual(withPart({ pose: { yaw: 1, roll: 2 } }, 'pose', { yaw: undefined }), { pose: { roll: 2 } });
  assert.deepEqual(without({ pose: { yaw: 1 }, illumination: gamma }, 'illumination'), { pose: { yaw: 1 } });
  const previous = { illumination: gamma };
  assert.deepEqual(exclusiveLight({ ...previous, light: { strength: 1 } }, previous), { light: { strength: 1 } });
  assert.deepEqual(rounded({ pose: { yaw: 1 / 3 } }), { pose: { yaw: 0.3333 } });
  assert.equal(inWords({ expression: { mouthSmileLeft: 0.5, mouthSmileRight: 0.5 } }, studio), 'mouthsmileleft 0.50');
});

test('between keys, what is absent is the person’s own', () => {
  const a = { pose: { yaw: 14 } };
  const b = { expression: { jawOpen: 0.5 } };
  const middle = between(a, b, 0.5, person('a1'), studio);
  near(middle.pose.yaw, 9);
  near(middle.expression.jawOpen, 0.3);
  assert.equal(middle.light, undefined);
  assert.equal(middle.illumination, undefined);
});

test('keys are met exactly, before the first and after the last too', () => {
  const keys = [
    { time: 1, request: { pose: { yaw: 10 } } },
    { time: 3, request: { pose: { yaw: 20 } } },
  ];
  const at = (time, easing) => requestAt(keys, time, easing, person('a1'), studio).pose.yaw;
  assert.equal(at(0, 'linear'), 10);
  assert.equal(at(1, 'smooth'), 10);
  assert.equal(at(3, 'smooth'), 20);
  assert.equal(at(9, 'linear'), 20);
  near(at(1.5, 'linear'), 12.5);
  near(at(1.5, 'smooth'), 10 + 10 * (3 * 0.25 ** 2 - 2 * 0.25 ** 3));
});

test('a light swings round, and fades where there is only one', () => {
  const a = { light: { direction: [1, 0, 0], strength: 0.2 } };
  const b = { light: { direction: [0, 0, 2], strength: 0.6 } };
  const { direction, strength } = between(a, b, 0.5, person('a1'), studio).light;
  near(Math.hypot(...direction), 1);
  near(direction[0], direction[2]);
  near(strength, 0.4);
  const opposite = between(a, { light: { direction: [-1, 0, 0], strength: 0.2 } }, 0.5, person('a1'), studio);
  near(opposite.light.direction[2], 1);
  const faded = between(a, {}, 0.999999, person('a1'), studio);
  assert.equal(faded.light, undefined);
  near(faded.illumination[3][0], 0.1, 1e-4);
});

test('what a file asks for is checked', () => {
  const refused = (value, words) =>
    assert.throws(
      () => checked(value, studio),
      (error) => error instanceof InvalidFile && words.test(error.message),
    );
  refused({ pose: { yaw: 'x' } }, /pose\.yaw/);
  refused({ pose: { yaw: 1e9 } }, /from -180 to 180/);
  refused({ pose: { up: 1 } }, /without 'up'/);
  refused({ expression: { nobody: 1 } }, /nobody/);
  refused({ light: { direction: [0, 0, 0] } }, /other than zero/);
  refused({ illumination: [[1, 2, 3]] }, /nine rows/);
  refused({ light: { strength: 1 }, illumination: Array(9).fill([1, 1, 1]) }, /not both/);
  refused([], /an object/);
  refused({ __proto__: null, constructor: 1 }, /constructor/);
  const good = { pose: { yaw: 1 }, expression: { jawOpen: 0.5 }, light: { direction: [0, 0, 1], colour: [1, 1, 1] } };
  assert.deepEqual(checked(good, studio), good);
});

test('a saved portrait is read back; another generator’s is refused', () => {
  const latent = Buffer.alloc(2 * 512 * 4).toString('base64');
  const keys = [
    { time: 3, request: {} },
    { time: 1, request: { pose: { yaw: 1 } } },
  ];
  const saved = {
    format: 'stylerig-studio',
    version: 1,
    generator: 'stand-in',
    label: 'x'.repeat(200),
    latent,
    request: { pose: { roll: 3 } },
    timeline: { duration: 4, easing: 'smooth', loop: true, keys },
  };
  const read = savedPortrait(JSON.stringify(saved), studio);
  assert.deepEqual(read.request, { pose: { roll: 3 } });
  assert.deepEqual(
    read.timeline.keys.map((key) => key.time),
    [1, 3],
  );
  assert.equal(read.label.length, 60);
  const refused = (change, words) =>
    assert.throws(() => savedPortrait(JSON.stringify({ ...saved, ...change }), studio), words);
  refused({ generator: 'another' }, /another/);
  refused({ latent: latent.slice(4) }, /2 x 512/);
  refused({ latent: `${latent.slice(4)}<b>=` }, /base64/);
  refused({ version: 2 }, /version 2/);
  refused({ format: 'x' }, /studio/);
  refused({ timeline: { ...saved.timeline, keys: [{ time: 9, request: {} }] } }, /time/);
  assert.throws(() => savedPortrait('{', studio), /JSON/);
  assert.throws(() => timeline({ duration: 1e9, easing: 'linear', keys: [] }, studio), /duration/);
});

test('a frame is taken apart; what is none is not', () => {
  const header = new TextEncoder().encode(JSON.stringify({ id: 3, format: 'jpeg' }));
  const data = new Uint8Array(8 + header.length + 2);
  data.set([0x53, 0x52, 0x46, 0x31]);
  new DataView(data.buffer).setUint32(4, header.length, true);
  data.set(header, 8);
  data.set([7, 8], 8 + header.length);
  const frame = parseFrame(data.buffer);
  assert.equal(frame.header.id, 3);
  assert.equal(frame.blob.size, 2);
  assert.equal(frame.blob.type, 'image/jpeg');
  assert.equal(parseFrame(new ArrayBuffer(4)), null);
  assert.equal(parseFrame(new ArrayBuffer(64)), null);
  new DataView(data.buffer).setUint32(4, 10_000, true);
  assert.equal(parseFrame(data.buffer), null);
});
