// Trials of a continuous-recognition experiment for jsPsych 8, with its plugin image-keyboard-response (jspsych.html runs them):
//
//   const jsPsych = initJsPsych({ on_finish: () => jsPsych.data.get().localSave("csv", "answers.csv") });
//   jsPsych.run([memorabilityTimeline(jsPsych, { participant: "p01", list: 1 })]);
//
// The saved table is read by `memorability reliability` and `memorability validate` as it is.
const memorabilityLists = /*LISTS*/ null;

function memorabilityTimeline(jsPsych, { participant, list = 1 }) {
  const shown = /*SHOWN*/ null;
  const gap = /*GAP*/ null;
  const variable = (name) => jsPsych.timelineVariable(name);
  return {
    timeline: [
      {
        type: jsPsychImageKeyboardResponse,
        stimulus: variable("stimulus"),
        choices: [" "],
        stimulus_duration: shown,
        trial_duration: shown + gap,
        response_ends_trial: false,
        render_on_canvas: false, // so that the page's style bounds a picture's size
        data: {
          participant,
          item: variable("item"),
          old_or_new: variable("old_or_new"),
          role: variable("role"),
          lag: variable("lag"),
          list: variable("list"),
        },
      },
    ],
    timeline_variables: memorabilityLists[list - 1],
  };
}
