/** Names of units that read well alone, where the server's label, made from the unit's name, does not. */

const LABELS = {
  browDown: 'Lower',
  browInnerUp: 'Raise inner ends',
  browOuterUp: 'Raise outer ends',
  cheekPuff: 'Puff',
  cheekSquint: 'Raise',
  eyeLookDown: 'Look down',
  eyeLookIn: 'Look inward',
  eyeLookOut: 'Look outward',
  eyeLookUp: 'Look up',
  eyeWide: 'Open wide',
  jawForward: 'Forward',
  jawLeft: 'Shift left',
  jawRight: 'Shift right',
  mouthClose: 'Close lips',
  mouthLeft: 'Shift left',
  mouthLowerDown: 'Lower lip down',
  mouthPress: 'Press lips',
  mouthRight: 'Shift right',
  mouthRollLower: 'Lower lip in',
  mouthRollUpper: 'Upper lip in',
  mouthShrugLower: 'Lower lip out',
  mouthShrugUpper: 'Upper lip out',
  mouthUpperUp: 'Upper lip up',
};

/** The unit's name without its side. */
export const stem = (unit) => (unit.mirror ? unit.name.replace(/(Left|Right)$/, '') : unit.name);

/** The studio's expressions under labels that read well. */
export const labelled = (expressions) =>
  expressions.map((unit) => ({ ...unit, label: LABELS[stem(unit)] ?? unit.label }));
