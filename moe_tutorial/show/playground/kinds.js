// @ts-check
// The kinds of layers that the playground trains. A kind has a model, texts, pictures and controls. Only this file
// lists them.
import { mixtureControls } from "./mixture/controls.js";
import { mixturePictures } from "./mixture/draw.js";
import { createMixture } from "./mixture/model.js";
import { mixtureWords } from "./mixture/words.js";
import { treeControls } from "./tree/controls.js";
import { treePictures } from "./tree/draw.js";
import { createTree } from "./tree/model.js";
import { treeWords } from "./tree/words.js";

/** @type {Record<string, { create: (settings?: any, own?: any) => any, words: any, pictures: any, controls: any }>} */
export const KINDS = {
  mixture: { create: createMixture, words: mixtureWords, pictures: mixturePictures, controls: mixtureControls },
  tree: { create: createTree, words: treeWords, pictures: treePictures, controls: treeControls },
};
export const kindNames = Object.keys(KINDS);

/** Create the model of these settings; `own` is the learner's data.
 * @param {import("./experiment/experiment.js").Settings} settings @param {import("./experiment/data.js").Data} [own] */
export const createLayer = (settings, own) => KINDS[settings.layer].create(settings, own);
