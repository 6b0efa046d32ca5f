/** The face as three.js objects: one geometry that follows person and request, and how it is drawn. */

import {
  BufferAttribute, BufferGeometry, DynamicDrawUsage, FrontSide, DoubleSide, Group, LineSegments, Mesh, ShaderMaterial,
  Vector3,
} from '../vendor/three.module.min.js';
import { Cranium } from './cranium.js';
import { greyUnder } from './lighting.js';
import { MouthLining } from './mouth.js';
import { vertexNormals } from './normals.js';
import { illuminationOf, placeOf, rotationOf } from './params.js';
import { Teeth } from './teeth.js';
import { LINE_SHADER, SURFACE_SHADER } from './shaders.js';
import { meshEdges, mouthLoop, outerLoop, rimOpacity } from './topology.js';

// Width of the dissolving rim, decimetres.
const RIM = 0.28;
// Brightness of what has no skin in the mean of the person's light.
const CLAY = 0.58;
const SKULL = 0.5;
const TEETH = 0.8;
const GHOST = 0.4; // opacity of the skull behind a face of skin

/** How the face can be drawn: as lit skin, as lit clay, as clay with the mesh's edges. */
export const MODES = ['shaded', 'clay', 'wire'];

export class Face {
  /** @param {import('./model.js').FaceModel} model */
  constructor(model) {
    this.model = model;
    const { edges, loops } = meshEdges(model.triangles, model.numVertices);
    const rim = outerLoop(loops, model.mean);
    this.lining = new MouthLining(mouthLoop(loops, model.mean, model.landmarkVertices), model.numVertices);
    this.teeth = new Teeth(this.lining.numVertices > 0, this.lining.firstRow + this.lining.numVertices);
    this.cranium = new Cranium(rim, model.mean, this.teeth.firstRow + this.teeth.numVertices);
    const rows = this.cranium.firstRow + this.cranium.numVertices;
    this.vertices = new Float32Array(3 * rows);
    this.normals = new Float32Array(3 * rows);
    this.albedo = new Float32Array(3 * rows);
    this.opacity = new Float32Array(rows).fill(1);
    this.opacity.set(rimOpacity(edges, this.cranium.openRim(rim), model.mean, RIM));
    this.opacity.set(this.cranium.opacities(), this.cranium.firstRow);
    this.skin = Int32Array.from([...model.triangles, ...this.cranium.triangles]);
    this.lit = Int32Array.from([...this.skin, ...this.teeth.triangles]);
    this.group = new Group();
    this.group.matrixAutoUpdate = false;
    this.addSurface(rows);
    this.addLines(edges);
    this.setMode('shaded');
  }

  addSurface(rows) {
    const geometry = new BufferGeometry();
    const add = (name, array, size) => {
      const attribute = new BufferAttribute(array, size).setUsage(DynamicDrawUsage);
      geometry.setAttribute(name, attribute);
      return attribute;
    };
    this.attributes = {
      position: add('position', this.vertices, 3),
      normal: add('normal', this.normals, 3),
      albedo: add('albedo', this.albedo, 3),
      opacity: add('opacity', this.opacity, 1),
    };
    const depth = new Float32Array(rows);
    depth.set(this.lining.depths(), this.lining.firstRow);
    depth.set(this.cranium.depths(), this.cranium.firstRow);
    add('depth', depth, 1);
    const { solid, dissolving } = this.split();
    const mouth = [...this.lining.triangles, ...this.teeth.triangles];
    geometry.setIndex(new BufferAttribute(Uint32Array.from([...solid, ...mouth, ...dissolving]), 1));
    geometry.addGroup(0, solid.length, 0);
    geometry.addGroup(solid.length, mouth.length, 1);
    // Depth alone first: of several dissolving layers only the nearest is blended.
    geometry.addGroup(solid.length + mouth.length, dissolving.length, 2);
    geometry.addGroup(solid.length + mouth.length, dissolving.length, 3);
    const uniforms = {
      gamma: { value: Array.from({ length: 9 }, () => new Vector3()) },
      clay: { value: new Vector3() },
      clayShare: { value: 0 },
      ghost: { value: 0 },
    };
    const material = (options) => new ShaderMaterial({ ...SURFACE_SHADER, uniforms, ...options });
    this.materials = [
      material({ side: FrontSide }),
      material({ side: DoubleSide }),
      material({ side: FrontSide, transparent: true, colorWrite: false }),
      material({ side: FrontSide, transparent: true, premultipliedAlpha: true, depthWrite: false }),
    ];
    this.uniforms = uniforms;
    this.surface = new Mesh(geometry, this.materials);
    this.add(this.surface);
  }

  /** Triangles that are opaque, and those that dissolve and are blended over them. */
  split() {
    const solid = [];
    const dissolving = [];
    for (let t = 0; t < this.skin.length; t += 3) {
      const corners = this.skin.subarray(t, t + 3);
      const opaque = t < this.model.triangles.length && corners.every((v) => this.opacity[v] >= 0.999);
      (opaque ? solid : dissolving).push(...corners);
    }
    return { solid, dissolving };
  }

  addLines(edges) {
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', this.attributes.position);
    geometry.setAttribute('opacity', this.attributes.opacity);
    geometry.setIndex(new BufferAttribute(edges, 1));
    this.lineUniforms = { ink: { value: new Vector3() }, strength: { value: 0.5 } };
    const material = new ShaderMaterial({
      ...LINE_SHADER, uniforms: this.lineUniforms, transparent: true, premultipliedAlpha: true, depthWrite: false,
    });
    this.lines = new LineSegments(geometry, material);
    this.lines.renderOrder = 1;
    this.add(this.lines);
  }

  add(object) {
    // Bounds are never asked for: the face is always in the picture.
    object.frustumCulled = false;
    this.group.add(object);
  }

  /** @param {'shaded'|'clay'|'wire'} mode */
  setMode(mode) {
    const skin = mode === 'shaded';
    this.uniforms.clayShare.value = skin ? 0 : 1;
    // What has no skin is a ghost beside skin, and clay like the rest among clay.
    this.uniforms.ghost.value = skin ? GHOST : 1;
    this.lines.visible = mode === 'wire';
  }

  /** Colour of the edges, RGB in 0..1. */
  setInk(rgb) {
    this.lineUniforms.ink.value.fromArray(rgb);
  }

  setPerson(person) {
    this.albedo.set(this.model.colours(person));
    const own = person.params.illumination;
    this.uniforms.clay.value.fromArray(greyUnder(own, CLAY));
    this.teeth.place(this.vertices, this.model.neutral(person), this.model.landmarkVertices[62]);
    this.teeth.paint(this.albedo, greyUnder(own, TEETH));
    this.cranium.paint(this.albedo, greyUnder(own, SKULL));
    this.attributes.albedo.needsUpdate = true;
  }

  setShape(person, request) {
    this.model.shape(person, request, this.vertices.subarray(0, 3 * this.model.numVertices));
    this.lining.follow(this.vertices);
    this.cranium.follow(this.vertices);
    vertexNormals(this.vertices, this.lit, this.normals);
    this.attributes.position.needsUpdate = true;
    this.attributes.normal.needsUpdate = true;
  }

  setPose(person, request, focal) {
    const r = rotationOf(person, request);
    const [x, y, z] = placeOf(person, request, focal);
    this.group.matrix.set(r[0], r[1], r[2], x, r[3], r[4], r[5], y, r[6], r[7], r[8], z, 0, 0, 0, 1);
    this.group.matrixWorldNeedsUpdate = true;
  }

  setLight(person, request) {
    illuminationOf(person, request).forEach((row, b) => this.uniforms.gamma.value[b].fromArray(row));
  }

  dispose() {
    this.surface.geometry.dispose();
    this.lines.geometry.dispose();
    this.lines.material.dispose();
    for (const material of this.materials) material.dispose();
  }
}
