/** GLSL of the face: spherical-harmonic shading as in stylerig_fast/render.py, per pixel and without tone mapping. */

const SURFACE_VERTEX = `
attribute vec3 albedo;
attribute float opacity;
attribute float depth;
varying vec3 vNormal;
varying vec3 vAlbedo;
varying float vOpacity;
varying float vDepth;
varying vec3 vPlace;

void main() {
  // The camera is the origin and turns nothing: model space becomes camera space by the head's pose.
  vNormal = mat3(modelMatrix) * normal;
  vAlbedo = albedo;
  vOpacity = opacity;
  vDepth = depth;
  vec4 place = modelMatrix * vec4(position, 1.0);
  vPlace = place.xyz;
  gl_Position = projectionMatrix * place;
}
`;

const SURFACE_FRAGMENT = `
uniform vec3 gamma[9];
uniform vec3 clay;
uniform float clayShare;
varying vec3 vNormal;
varying vec3 vAlbedo;
varying float vOpacity;
varying float vDepth;
varying vec3 vPlace;
uniform float ghost;

vec3 irradiance(vec3 n) {
  return gamma[0] * 0.282095
    + 0.488603 * (gamma[1] * n.y + gamma[2] * n.z + gamma[3] * n.x)
    + 1.092548 * (gamma[4] * (n.x * n.y) + gamma[5] * (n.y * n.z) + gamma[7] * (n.x * n.z))
    + gamma[6] * (0.315392 * (3.0 * n.z * n.z - 1.0))
    + gamma[8] * (0.546274 * (n.x * n.x - n.y * n.y));
}

void main() {
  vec3 n = normalize(vNormal);
  float opacity = vOpacity;
  vec3 colour = mix(vAlbedo, clay, clayShare) * irradiance(n);
  // Interpolated zeros are not exactly zero.
  if (vDepth > 1e-3) {
    // The mouth's lining: little light, the less the deeper.
    vec3 inside = mix(vec3(0.34, 0.15, 0.14), vec3(0.12, 0.05, 0.05), smoothstep(0.0, 0.8, vDepth));
    colour = mix(inside, vec3(dot(inside, vec3(0.299, 0.587, 0.114))), clayShare) * gamma[0] * 0.282095;
  }
  if (vDepth < -1e-3 && ghost < 1.0) {
    // The skull: the farther from the face the thinner, and no hard outline.
    float facing = smoothstep(0.0, 0.7, dot(n, -normalize(vPlace)));
    opacity *= mix(1.0, ghost * facing, smoothstep(0.0, 0.2, -vDepth));
  }
  // Premultiplied, so that the page's background shines through what dissolves.
  gl_FragColor = vec4(clamp(colour, 0.0, 1.0) * opacity, opacity);
}
`;

const LINE_VERTEX = `
attribute float opacity;
varying float vOpacity;

void main() {
  vOpacity = opacity;
  vec4 place = projectionMatrix * modelMatrix * vec4(position, 1.0);
  // A little toward the viewer, so that lines win against the surface they lie on.
  place.z -= 1e-4 * place.w;
  gl_Position = place;
}
`;

const LINE_FRAGMENT = `
uniform vec3 ink;
uniform float strength;
varying float vOpacity;

void main() {
  float alpha = strength * vOpacity;
  gl_FragColor = vec4(ink * alpha, alpha);
}
`;

export const SURFACE_SHADER = { vertexShader: SURFACE_VERTEX, fragmentShader: SURFACE_FRAGMENT };
export const LINE_SHADER = { vertexShader: LINE_VERTEX, fragmentShader: LINE_FRAGMENT };
